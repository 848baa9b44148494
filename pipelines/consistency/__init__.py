"""Learned checks: published metrics of video, measured with pulled weights by the definitions of their authors."""
