"""Layouts that surrlab did not write, a module each: how its files become a card.

A layout has two functions: ``recognises(path)``, by names and headers only, and
``scan(folder, extra) -> Card``. `surrlab.data.open` knows them by name;
`cards` holds what they share.
"""
