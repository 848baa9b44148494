"""What may be trusted about a file, whatever it is and wherever it comes from."""

from studio.inspection.report import Conclusion, Verification
from studio.inspection.verification import FILE_MISMATCH, LAYOUT_MISMATCH, PADDING_MISMATCH, UNBOUND_MISMATCH, verify

__all__ = [
    "FILE_MISMATCH",
    "LAYOUT_MISMATCH",
    "PADDING_MISMATCH",
    "UNBOUND_MISMATCH",
    "Conclusion",
    "Verification",
    "verify",
]
