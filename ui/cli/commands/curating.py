"""What people add to their clips, in the terminal: ratings, captions, tags, collections; the bin; many in one ZIP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.errors import UnsupportedValue
from ui.cli import arguments as argument
from ui.cli.console import print_json, print_line, print_note, print_table

if TYPE_CHECKING:
    from studio.app import Studio
    from studio.library.bundle import BundleProgress

collections = typer.Typer(help="Named sets of assets.", no_args_is_help=True)

AssetId = Annotated[str, typer.Argument(help="Id of the asset, or its beginning.", metavar="ID")]
AssetIds = Annotated[list[str], typer.Argument(help="Ids of assets, or their beginnings.", metavar="ID...")]
Name = Annotated[str, typer.Argument(help="Name of the collection, or its id.", metavar="NAME")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def rate(
    asset_id: AssetId,
    stars: Annotated[int, typer.Argument(help="1 to 5; 0 takes it back.", metavar="STARS")],
    as_json: argument.Json = False,
) -> None:
    """Say how good an asset is."""
    studio = _studio()
    studio.curation.rate(_whole(studio, [asset_id]), stars or None)
    _show_notes(studio, [asset_id], as_json)


def caption(
    asset_id: AssetId,
    words: Annotated[str, typer.Argument(help="What it shows; empty takes it back.", metavar="TEXT")],
    as_json: argument.Json = False,
) -> None:
    """Say in words what an asset shows; it is found by them."""
    studio = _studio()
    studio.curation.caption(studio.store.asset(asset_id).id, words)
    _show_notes(studio, [asset_id], as_json)


def tag(
    asset_ids: AssetIds,
    add: Annotated[list[str] | None, typer.Option("--add", help="Put on; repeatable.", metavar="TAG")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", help="Take off; repeatable.", metavar="TAG")] = None,
    as_json: argument.Json = False,
) -> None:
    """Put tags on assets, and take tags off them."""
    studio = _studio()
    studio.curation.tag(_whole(studio, asset_ids), add or (), remove or ())
    _show_notes(studio, asset_ids, as_json)


def bin_(
    asset_ids: Annotated[
        list[str] | None, typer.Argument(help="Put these into the bin; what is in it when left out.", metavar="[ID]...")
    ] = None,
    restore: Annotated[
        list[str] | None, typer.Option("--restore", help="Take this one out; repeatable.", metavar="ID")
    ] = None,
    empty: Annotated[bool, typer.Option("--empty", help="Delete for good what is in it.")] = False,
    older_than: Annotated[
        float | None, typer.Option("--older-than", help="Only what has been in it for so long.", min=0, metavar="DAYS")
    ] = None,
    yes: Yes = False,
    as_json: argument.Json = False,
) -> None:
    """Put assets into the bin, where no list shows them, take them out, or empty it. Files stay until it is emptied."""
    if older_than is not None and not empty:
        raise UnsupportedValue("it goes with --empty alone", field="older_than", got=older_than, fix="add --empty")
    if bool(asset_ids) + bool(restore) + empty > 1:
        raise UnsupportedValue("one thing at a time", field="bin", got="several", allowed="ids, --restore or --empty")
    studio = _studio()
    if empty:
        _empty(studio, older_than, yes=yes, as_json=as_json)
        return
    if restore:
        done = {"restored": list(studio.curation.restore(_whole(studio, restore)))}
    elif asset_ids:
        done = {"binned": list(studio.curation.bin(_whole(studio, asset_ids)))}
    else:
        done = {}
    _show_bin(studio, done, as_json)


def bundle(
    destination: Annotated[Path, typer.Argument(help="A new file, *.zip.", metavar="FILE")],
    asset_ids: Annotated[
        list[str] | None, typer.Argument(help="Ids of assets, or their beginnings.", metavar="[ID]...")
    ] = None,
    collection: Annotated[
        str | None, typer.Option("--collection", help="All that is in this one.", metavar="NAME")
    ] = None,
    as_json: argument.Json = False,
) -> None:
    """Write many sealed files into one ZIP, byte for byte, with a manifest that tells how each was made."""
    from studio.library.query import LibraryQuery

    studio = _studio()
    ids = list(asset_ids or ())
    if collection is not None:
        ids += studio.curation.ids(LibraryQuery(collection_id=studio.curation.collections.find(collection).id))
    bundled = studio.curation.bundles.bundle(ids, destination, _told if not as_json else lambda _progress: None)
    if as_json:
        assets = [asset.as_json() for asset in bundled.assets]
        print_json({"assets": assets, "path": str(bundled.path), "size_bytes": bundled.size_bytes})
        return
    print_line(str(bundled.path))


@collections.command("list")
def list_collections(as_json: argument.Json = False) -> None:
    """List the collections."""
    _show_collections(_studio(), as_json)


@collections.command("create")
def create_collection(name: Name, as_json: argument.Json = False) -> None:
    """Make an empty collection."""
    studio = _studio()
    studio.curation.collections.create(name)
    _show_collections(studio, as_json)


@collections.command("rename")
def rename_collection(
    name: Name,
    new_name: Annotated[str, typer.Argument(help="Another name.", metavar="NEW")],
    as_json: argument.Json = False,
) -> None:
    """Give a collection another name."""
    studio = _studio()
    studio.curation.collections.rename(studio.curation.collections.find(name).id, new_name)
    _show_collections(studio, as_json)


@collections.command("delete")
def delete_collection(name: Name, yes: Yes = False, as_json: argument.Json = False) -> None:
    """Delete a collection; what was in it stays in the library."""
    studio = _studio()
    found = studio.curation.collections.find(name)
    argument.confirm(f"Delete the collection {found.name}? Its assets stay.", yes=yes, as_json=as_json)
    studio.curation.collections.delete(found.id)
    _show_collections(studio, as_json)


@collections.command("add")
def add_to_collection(name: Name, asset_ids: AssetIds, as_json: argument.Json = False) -> None:
    """Put assets into a collection."""
    studio = _studio()
    studio.curation.collections.add(studio.curation.collections.find(name).id, _whole(studio, asset_ids))
    _show_collections(studio, as_json)


@collections.command("remove")
def remove_from_collection(name: Name, asset_ids: AssetIds, as_json: argument.Json = False) -> None:
    """Take assets out of a collection."""
    studio = _studio()
    studio.curation.collections.remove(studio.curation.collections.find(name).id, _whole(studio, asset_ids))
    _show_collections(studio, as_json)


def notes_json(studio: Studio, asset_id: str) -> dict[str, Any]:
    """Return what people say of an asset."""
    item = studio.curation.items([asset_id])[0]
    names = [found.name for found in studio.curation.collections.of(asset_id)]
    told = {"rating": item.rating, "caption": item.caption, "tags": list(item.tags), "collections": names}
    return told | {"in_bin": item.binned_at is not None}


def _studio() -> Studio:
    from studio.app import Studio

    return Studio()


def _whole(studio: Studio, asset_ids: list[str]) -> list[str]:
    return [studio.store.asset(asset_id).id for asset_id in asset_ids]


def _show_notes(studio: Studio, asset_ids: list[str], as_json: bool) -> None:
    told = [{"id": asset_id, **notes_json(studio, asset_id)} for asset_id in _whole(studio, asset_ids)]
    if as_json:
        print_json({"assets": told})
        return
    for item in told:
        print_line(f"{item['id']}  {item['rating'] or '-'}  {', '.join(item['tags']) or '-'}  {item['caption'] or '-'}")


def _show_bin(studio: Studio, done: dict[str, list[str]], as_json: bool) -> None:
    from studio.library.query import LibraryQuery

    items = studio.curation.items(studio.curation.ids(LibraryQuery(in_bin=True)))
    if as_json:
        print_json({"assets": [item.as_json() for item in items], **done})
        return
    for word, ids in done.items():
        print_note(f"{word} {len(ids)}")
    rows = [(item.id, item.kind, item.model, str(item.binned_at)[:16], item.prompt or "-") for item in items]
    print_table("", ("asset", "kind", "model", "in the bin since", "prompt"), rows)


def _empty(studio: Studio, older_than: float | None, *, yes: bool, as_json: bool) -> None:
    argument.confirm("Delete for good what is in the bin?", yes=yes, as_json=as_json)
    emptied = studio.curation.empty_bin(older_than_days=older_than)
    failed = [{"id": asset_id, "error": error.as_json()} for asset_id, error in emptied.failed.items()]
    if as_json:
        print_json({"removed": list(emptied.removed), "failed": failed})
    else:
        print_line(f"removed {len(emptied.removed)}")
    for asset_id, error in emptied.failed.items():
        print_note(f"{asset_id}: {error.sentence()}")
    if emptied.failed:
        from ui.cli.exit_codes import exit_code

        raise typer.Exit(exit_code(next(iter(emptied.failed.values()))))


def _show_collections(studio: Studio, as_json: bool) -> None:
    found = studio.curation.facets().collections
    if as_json:
        print_json({"collections": [dict(vars(item)) for item in found]})
        return
    print_table("", ("collection", "assets", "id"), [(item.name, str(item.count), item.id) for item in found])


def _told(progress: BundleProgress) -> None:
    print_note(f"{progress.done} of {progress.total} files, {progress.done_bytes / 2**20:.1f} MiB")
