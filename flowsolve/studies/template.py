"""The study file that ``flowsolve study new`` writes: small enough to run, with every key explained."""

TEMPLATE = """\
# A study: many runs, planned in one file.
#
#   flowsolve study plan study.toml                       what would run, and how long it takes
#   flowsolve study run study.toml --out results          run it; the same command goes on after a kill
#   flowsolve study run study.toml --out results --workers 4

title = "A first study"

# Clean images: files, folders or zips, relative to this file or to the folder of --data. They are degraded,
# and the results compared with them. Their size must be what the priors take.
images = ["photos"]
limit = 8            # read no more than so many images
# batch = 8          # images in one run; without it all of them
# skip_impossible = true  # leave out combinations without meaning instead of refusing the file

# When a run ends: the limit that is reached first. A table of cells can set its own.
[budget]
max_iter = 200
# max_evaluations = 400   # of each image
# max_seconds = 60.0
# rtol = 1e-7             # converged; 0 for never

# How all runs are computed and recorded.
[compute]
dtype = "float32"
device = "cpu"
threads = 1               # of each run
# checkpoint_seconds = 10.0
# snapshot_every = 20     # keep the images every so many iterations

# Tasks with options; without a table, the names of `flowsolve list tasks` stand for the usual ones.
[tasks.deblur-5]
task = "deblur"
kernel_size = 5           # also: kernel = "kernel.png"
sigma = [0.01, 0.03]      # noise levels; else the task's
# seed = 0                # of noise and masks
# [tasks.half]
# task = "inpaint-random"
# missing = 0.5           # also: box, factor, mask = "mask.png"

# Solvers with options; without a table, the names of `flowsolve list solvers` stand for the usual ones.
[solvers.lbfgs-short]
solver = "lbfgs"
history = 5

# Cells: every combination of what the keys list. More tables add theirs, which is how to list single ones.
[[cells]]
task = ["deblur-5", "denoise"]
formulation = "analysis"           # over images; or "synthesis", over latents
solver = ["lbfgs", "lbfgs-short", "adam"]
prior = "faces64"                  # names or .safetensors files
# phi = "nll"                      # prior terms: nll, latent, typical; else the formulation's
lam = ["map", "0.3 map"]           # weights: map is sigma^2 / 2; multiples of it; numbers
start = ["usual", "random"]        # names of `flowsolve list initialisers`; usual is the task's,
                                   # classical the task's classical restoration, also encoded:classical
seed = [0, 1]                      # of random starts; a start that is the same with all runs once

[[cells]]
task = "deblur-5"
sigma = 0.01                       # instead of the task's
formulation = "synthesis"
solver = "lbfgs"
prior = "faces64-additive"
start = "zeros"
max_iter = 400

[[cells]]
task = "deblur-5"
method = "auto"                    # names of `flowsolve list methods`: a method has stages of its own and
                                   # stops by itself; solvers run beside it where their keys are given
"""
