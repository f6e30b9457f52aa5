from surrlab.figures.catalogue import PLATES as PLATES
from surrlab.figures.catalogue import draw as draw
from surrlab.figures.catalogue import draw_all as draw_all
