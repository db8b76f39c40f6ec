"""Data sets on disk: records, shards, folders, manifests; write beside read."""
