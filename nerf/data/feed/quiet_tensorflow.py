"""TensorFlow without its noise and without accelerators, which are JAX's: imported before TensorFlow wherever it is used."""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')  # its results depend on the machine, and it says so at every start

import tensorflow as tf

for kind in ('GPU', 'TPU'):
    tf.config.set_visible_devices([], kind)
