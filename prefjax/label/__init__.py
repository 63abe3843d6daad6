"""A page on which people label preferences: blind, in random order, and nothing of it lost.

items -> session -> store, and over them a server: `items` are what is shown, `judgements` what is written, `store` the
file, `session` what is next and how it goes, `merge` several annotators as votes.
"""
