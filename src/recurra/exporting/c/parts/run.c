/* One step of all layers; returns the hidden state of the top layer. */
static const float *model_run(model_memory *memory, const float *x) {
    int l;
    for (l = 0; l < MODEL_LAYERS; l++) {
        model_advance(memory, l, x);
        x = memory->hidden[l];
    }
    return x;
}
