from surrlab.figures.catalogue import FIGURES as FIGURES
from surrlab.figures.catalogue import FigureSpec as FigureSpec
from surrlab.figures.catalogue import draw as draw
from surrlab.figures.catalogue import draw_all as draw_all
