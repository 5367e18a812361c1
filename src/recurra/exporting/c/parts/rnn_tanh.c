/* One step of layer l: h = tanh(W_ih x + W_hh h + b). */
static void model_advance(model_memory *memory, int l, const float *x) {
    const model_layer *layer = &model_layers[l];
    float *h = memory->hidden[l], next[MODEL_UNITS];
    int i;
    for (i = 0; i < MODEL_UNITS; i++) {
        next[i] = tanhf(model_product(&layer->input, i, x) + model_product(&layer->hidden, i, h) + layer->bias[i]);
    }
    memcpy(h, next, sizeof next);
}
