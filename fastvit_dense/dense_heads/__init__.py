"""Heads of published dense models that mmdet's and mmseg's own are not quite.

A module is imported when a config first names one of its types: it imports mmdet or mmseg.
"""
