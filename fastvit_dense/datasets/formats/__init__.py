"""Annotation formats: how their files are read and what must hold in them."""
