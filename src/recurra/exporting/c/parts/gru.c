static float model_sigmoid(float x) {
    return 1.0f / (1.0f + expf(-x));
}

/* Returns a row of W_ih x + W_hh h + b. */
static float model_sum(const model_layer *layer, int row, const float *x, const float *h) {
    return model_product(&layer->input, row, x) + model_product(&layer->hidden, row, h) + layer->bias[row];
}

/* One step of layer l. The rows of its weights are those of the reset gate, the update gate and the candidate. */
static void model_advance(model_memory *memory, int l, const float *x) {
    const model_layer *layer = &model_layers[l];
    float *h = memory->hidden[l], next[MODEL_UNITS];
    int i;
    for (i = 0; i < MODEL_UNITS; i++) {
        const int row = 2 * MODEL_UNITS + i;
        const float reset = model_sigmoid(model_sum(layer, i, x, h));
        const float update = model_sigmoid(model_sum(layer, MODEL_UNITS + i, x, h));
        const float past = model_product(&layer->hidden, row, h) + layer->bias_past[i];
        const float candidate = tanhf(model_product(&layer->input, row, x) + layer->bias[row] + reset * past);
        next[i] = (1.0f - update) * candidate + update * h[i];
    }
    memcpy(h, next, sizeof next);
}
