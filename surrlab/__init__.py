"""surrlab: how far can you compress the training data of a generative surrogate?

Nine wings, in the order in which a field flows; each may import only from those above it
(``tests/test_layers.py`` holds the table).

    data         what an ensemble is, in any layout
    simulation   demonstration data: a flow solver and two benchmarks
    compression  fewer bytes within an error: codecs, Algorithm 1, compressed ensembles
    loading      batches for training, straight from the compressed files
    training     networks, and how they learn
    evaluation   how good a model is, and whether it is worse: metrics, quantities, the verdict
    studies      the paper's experiments, resumable
    figures      a table in, a picture out
    explorer     sliders over fields, settings of a codec and models

The verbs that people type are offered here:

    open_ensemble    an ensemble in a folder, whatever its layout
    generate         simulate an ensemble of a benchmark
    find_tolerances  Algorithm 1 on every field of every sample
    compress         an ensemble and its tolerances -> a compressed ensemble, verified
    SampleLoader     batches of an ensemble, decoded in threads
    train            one model
    evaluate         models against the test simulations: a table by sample and field
    verdict          raw and lossy models -> benign, harmful or inconclusive, with the reason
    open_study       all of this as one resumable study
    explore          sliders, in a notebook

Wings and verbs are loaded on first use: torch alone takes two seconds to import.
"""

from surrlab import _lazy

__version__ = "0.2.0.dev0"
__all__ = _lazy.attach(
    __name__,
    data="open_ensemble",
    simulation="generate",
    compression="find_tolerances compress",
    loading="SampleLoader",
    training="train",
    evaluation="evaluate verdict",
    studies="open_study",
    figures="",
    explorer="explore",
)
