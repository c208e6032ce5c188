"""OpenMMLab without compiled operators, its rough edges, and the versions that fit together."""
