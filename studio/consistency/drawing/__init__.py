"""A report for people: a picture of timelines and frames, a page that needs nothing else, and the figures."""

from studio.consistency.drawing.writing import ReportFiles, write_report

__all__ = ["ReportFiles", "write_report"]
