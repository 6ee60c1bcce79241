"""The sandbox against receivers that do as they are told."""
