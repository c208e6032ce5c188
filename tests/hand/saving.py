"""MANO files as a user has them."""

import numpy as np


def write_mano(path, model):
    """Write the arrays of a hand model as an .npz that does not say where they are from."""
    names = ('v_template', 'f', 'J_regressor', 'J', 'kintree_table', 'weights', 'posedirs')
    names += ('shapedirs', 'hands_mean', 'hands_components', 'hands_coeffs')
    arrays = {name: getattr(model, name) for name in names}
    np.savez(path, **arrays, bs_style='lbs', bs_type='lrotmin')
