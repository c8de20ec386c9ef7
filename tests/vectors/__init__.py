"""Test vectors: a folder for each page of docs/spec, one file a vector, each folder made by a program beside it."""
