"""What is known of an ensemble that surrlab did not write, and the one class that reads them all.

card             what a layout says of an ensemble
extra            what its owner adds
draft            a card in the making, file by file
labelled_arrays  a card from labelled arrays of any library
stores           files of any library, opened alike and with care
places           where the values of an array lie
reading          the ensemble that reads by card
"""
