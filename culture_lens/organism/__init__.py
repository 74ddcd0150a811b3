"""A small vision-language model whose culture neurons are known, and the world it knows.

drawing, world      what there is to see and to know
model, plan         its body, and which neurons are to carry what
lessons, routing    batches of questions, and gradients that reach only whom they are meant for
stages, planting    the four stages of the training, the last by itself
training            from noise to organism, stage by stage
truth, checks       which neurons carry what, and the proof of it by ablating
"""
