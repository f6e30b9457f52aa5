from surrlab.explorer._look import Look as Look
from surrlab.explorer._paper import picture as picture
from surrlab.explorer._paper import picture_field as picture_field
from surrlab.explorer._paper import picture_prediction as picture_prediction
from surrlab.explorer.widget import Explorer as Explorer
from surrlab.explorer.widget import explore as explore
from surrlab.explorer.widget import explore_field as explore_field
from surrlab.explorer.widget import restore as restore
