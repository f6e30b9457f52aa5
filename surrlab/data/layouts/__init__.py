"""Layouts that surrlab did not write: each says where the fields lie, as a card.

A layout is a module with two functions: ``recognises(path)``, by names and headers only, and
``scan(folder, extra) -> Card``. `surrlab.data.open` knows them by name; one class reads them all.

    card      what a layout says of an ensemble, and what a user adds
    stores    files of any library, opened alike and with care
    reading   the ensemble that reads by card
"""
