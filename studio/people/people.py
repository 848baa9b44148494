"""`People`: accounts, logins that hold, and what is whose, over the library's database."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.orm import Session

from studio.errors import StoreTaken, UnsupportedValue
from studio.library.people_tables import AccountRow, OwnerRow, PresetRow, VisitRow
from studio.library.store import Store
from studio.people.account import MAX_PASSWORD, Account, Role, UnknownAccount, canonical, fit_name, fit_password
from studio.people.ownership import Ownership
from studio.people.passwords import hashed, is_right
from studio.people.throttle import Throttle

# Fixed, not sliding: to look at a page writes nothing, and a stolen login ends however often it is used.
LOGIN_DAYS = 14
_TOKEN_BYTES = 32


class People(Ownership):
    """Accounts and logins. Every method raises `StoreFault` where the database cannot be used.

    clock: now, with a time zone. throttle: of failed logins, in this process alone.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        throttle: Throttle | None = None,
    ) -> None:
        super().__init__(store)
        self._clock = clock
        self._throttle = throttle or Throttle()

    # -- accounts -----------------------------------------------------------------------------------------------

    def accounts(self) -> list[Account]:
        """Return all accounts, by name."""
        with self._store.database.read() as session:
            return [Account.of_row(row) for row in session.scalars(sa.select(AccountRow).order_by(AccountRow.name))]

    def account(self, name: str) -> Account:
        """Return one account. Raises `UnknownAccount`."""
        with self._store.database.read() as session:
            return Account.of_row(_row(session, name))

    def can_anybody_come_in(self) -> bool:
        """Say whether there is an account that is not closed."""
        return any(not account.is_closed for account in self.accounts())

    def add(self, name: str, password: str, role: Role = Role.CREATOR) -> Account:
        """Make an account. Raises `UnsupportedValue` for a name or a password that will not do."""
        fit_name(name)
        kept = hashed(fit_password(password, name))
        row = AccountRow(name=name, role=str(role), password=kept, is_closed=False, created_at=self._clock())
        account = Account.of_row(row)
        try:
            with self._store.transaction() as session:
                session.add(row)
        except StoreTaken:
            raise UnsupportedValue(
                "there is an account of this name",
                field="name",
                got=name,
                fix=f"`studio users password {name}` gives it another password",
            ) from None
        self._throttle.forget(name)
        return account

    def remove(self, name: str) -> Account:
        """Delete an account, its logins and presets; what is theirs becomes nobody's. Not the last admin's."""

        def work(session: Session, row: AccountRow) -> None:
            for kind in (VisitRow, OwnerRow, PresetRow):
                session.execute(sa.delete(kind).where(kind.account == name))
            session.delete(row)

        return self._change(name, work, is_loss=True, what="removed")

    def close(self, name: str) -> Account:
        """Let somebody in no more, and end their logins. Not the last admin."""

        def work(session: Session, row: AccountRow) -> None:
            row.is_closed = True
            _end_visits(session, name)

        return self._change(name, work, is_loss=True, what="closed")

    def open(self, name: str) -> Account:
        """Let somebody in again."""

        def work(_session: Session, row: AccountRow) -> None:
            row.is_closed = False

        return self._change(name, work)

    def set_role(self, name: str, role: Role) -> Account:
        """Change what somebody may do, from their next request on. The last admin stays one."""

        def work(_session: Session, row: AccountRow) -> None:
            row.role = str(role)

        return self._change(name, work, is_loss=role != Role.ADMIN, what="given another role")

    def set_password(self, name: str, password: str) -> Account:
        """Give somebody another password, and end their logins. Raises `UnsupportedValue` for one that will not do."""
        self.account(name)
        kept = hashed(fit_password(password, name))

        def work(session: Session, row: AccountRow) -> None:
            row.password = kept
            _end_visits(session, name)

        return self._change(name, work)

    def _change(
        self, name: str, work: Callable[[Session, AccountRow], None], *, is_loss: bool = False, what: str = ""
    ) -> Account:
        """Change a row in one transaction. is_loss: afterwards it is no admin's any more who can come in."""

        def whole(session: Session) -> Account:
            if is_loss:
                _require_another_admin(session, name, what)
            row = _row(session, name, for_update=True)
            before = Account.of_row(row)
            work(session, row)
            return before if row in session.deleted else Account.of_row(row)

        account = self._store.database.retrying(whole)
        self._throttle.forget(name)
        return account

    # -- logins -------------------------------------------------------------------------------------------------

    def login(self, name: str, password: str, address: str = "") -> str | None:
        """Return the token of a new login, 256 bits in URL-safe base64; None where name and password do not fit.

        Nothing tells which of the two it was, or that the account is closed; the time it takes neither.
        address: where it comes from. Raises `TooManyTries`.
        """
        name = name.strip().lower()[:41]
        self._throttle.begin(name, address)
        if len(password) > MAX_PASSWORD:
            return None
        kept = self._password_of(name)
        if not is_right(canonical(password), kept):
            return None
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        if not self._store.database.retrying(lambda session: self._enter(session, name, kept, token)):
            return None
        self._throttle.succeeded(name, address)
        return token

    def _password_of(self, name: str) -> str | None:
        """Return the hash of somebody who may come in."""
        query = sa.select(AccountRow.password).where(AccountRow.name == name, AccountRow.is_closed.is_(False))
        try:
            fit_name(name)
        except UnsupportedValue:  # what no account can be called may not even be text for a database
            name, query = "", query.where(sa.false())
        with self._store.database.read() as session:
            return session.scalar(query)

    def _enter(self, session: Session, name: str, kept: str | None, token: str) -> bool:
        """Note a login, unless password or account changed while the hash was computed."""
        now = self._clock()
        row = session.get(AccountRow, name, with_for_update=True)
        if row is None or row.is_closed or row.password != kept:
            return False
        session.execute(sa.delete(VisitRow).where(VisitRow.expires_at <= now))
        ends = now + timedelta(days=LOGIN_DAYS)
        session.add(VisitRow(token_sha256=_digest(token), account=name, created_at=now, expires_at=ends))
        return True

    def visitor(self, token: str) -> Account | None:
        """Return whose login this token is of, as the account is now; None where it holds no more, or never did."""
        query = (
            sa.select(AccountRow)
            .join(VisitRow, VisitRow.account == AccountRow.name)
            .where(
                VisitRow.token_sha256 == _digest(token),
                VisitRow.expires_at > self._clock(),
                AccountRow.is_closed.is_(False),
            )
        )
        with self._store.database.read() as session:
            row = session.scalar(query)
            return None if row is None else Account.of_row(row)

    def logout(self, token: str) -> None:
        """End a login. One that there is not does not matter."""
        with self._store.transaction() as session:
            session.execute(sa.delete(VisitRow).where(VisitRow.token_sha256 == _digest(token)))


def _digest(token: str) -> str:
    return sha256(token.encode("utf-8", "replace")).hexdigest()


def _end_visits(session: Session, name: str) -> None:
    session.execute(sa.delete(VisitRow).where(VisitRow.account == name))


def _row(session: Session, name: str, *, for_update: bool = False) -> AccountRow:
    query = sa.select(AccountRow).where(AccountRow.name == fit_name(name))
    row = session.scalar(query.with_for_update() if for_update else query)
    if row is None:
        raise UnknownAccount(
            "nobody has an account of this name", field="name", got=name, fix="`studio users list` shows the accounts"
        )
    return row


def _require_another_admin(session: Session, name: str, what: str) -> None:
    """All admins' rows stay locked until the end, so that two cannot be removed at the same moment."""
    query = (
        sa.select(AccountRow.name)
        .where(AccountRow.role == str(Role.ADMIN), AccountRow.is_closed.is_(False))
        .order_by(AccountRow.name)
        .with_for_update()
    )
    if list(session.scalars(query)) == [name]:
        raise UnsupportedValue(
            f"the last admin cannot be {what}",
            field="name",
            got=name,
            fix="make another admin first: `studio users role NAME admin`",
        )
