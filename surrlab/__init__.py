"""surrlab: how far can you compress the training data of a generative surrogate?

Read the modules in this order; each may import only from those before it (``tests/test_layers.py``
holds the table).

    fields       the six fields by name, their units, the grid
    hydro        finite-volume solver of the 2-D Euler equations
    metrics      L1, PSNR, mass, momentum, mixing-layer thickness, jet length
    scenarios    a benchmark: its parameters, initial state, and what to follow in time
    codecs       error-bounded codecs as frozen values
    storage      write an ensemble so that nothing half-written is taken for whole
    ensembles    ensembles of simulations on disk, one HDF5 file a simulation
    tolerance    Algorithm 1: the largest tolerance whose error stays within the model's
    compression  an ensemble and its tolerances -> a compressed ensemble, verified
    decoding     many stored fields decoded in one call, without the interpreter's lock
    disks        storage of any speed on one machine
    chunks       where each stored field lies in the files; asked of HDF5 once
    loading      batches for training, straight from the compressed files
    networks     the paper's generator, and batch norm over several processes
    surrogates   a trained model: stored, loaded, asked for its fields
    training     train, predict, checkpoints
    variability  the band of the raw models; the verdict on a lossy one
    evaluation   a model against the truth: tables by sample, scores by model
    workspace    where a study lives: its numbers, its folder, its models
    studies      each study of the paper as a function, resumable
    throughput   loading and epochs, timed: does compression pay on this disk?
    drawing      what all figures share
    figures      the pictures of the models: a table in, one matplotlib Figure out
    figures_data     the pictures of the data, and of what compression takes
    figures_loading  the pictures of throughput
    plates       which figure is drawn from which saved table
    ladder       one field at every setting of its codec, and what is lost at each
    judged       the models of a study as one looks at them
    gallery      what a folder holds to look at
    views        pictures and numbers for the screen, drawn in milliseconds
    charts       small plots for the screen
    figures_explorer  the explorer's views on paper
    pages        the two pages of the explorer
    explorer     sliders over an ensemble or the results of a study
    presets      the numbers of a study at one size
    notebooks    run the notebooks head-less; the rules that keep them thin
    cli          ``surrlab study`` and the batch commands

Importing the package imports nothing else: torch costs 1.8 s, and most modules do not need it.
"""

__version__ = "0.1.0"
