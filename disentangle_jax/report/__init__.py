"""Presentation of what an evaluation measured: pictures, plots, and one page of HTML."""
