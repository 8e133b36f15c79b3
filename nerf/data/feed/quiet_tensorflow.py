"""TensorFlow with fewer log lines and without accelerators, which JAX uses; import it before TensorFlow everywhere."""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')  # its results depend on the machine, and it logs so at every start

import tensorflow as tf

for kind in ('GPU', 'TPU'):
    tf.config.set_visible_devices([], kind)
