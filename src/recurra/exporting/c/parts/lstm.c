static float model_sigmoid(float x) {
    return 1.0f / (1.0f + expf(-x));
}

/* Returns a row of W_ih x + W_hh h + b. */
static float model_sum(const model_layer *layer, int row, const float *x, const float *h) {
    return model_product(&layer->input, row, x) + model_product(&layer->hidden, row, h) + layer->bias[row];
}

/* One step of layer l. The rows of its weights are those of the input gate, the forget gate, the candidate and the
   output gate. */
static void model_advance(model_memory *memory, int l, const float *x) {
    const model_layer *layer = &model_layers[l];
    float *h = memory->hidden[l], *c = memory->cell[l], next[MODEL_CELLS];
    int i;
    for (i = 0; i < MODEL_CELLS; i++) {
        const float input = model_sigmoid(model_sum(layer, i, x, h));
        const float forget = model_sigmoid(model_sum(layer, MODEL_CELLS + i, x, h));
        const float candidate = tanhf(model_sum(layer, 2 * MODEL_CELLS + i, x, h));
        const float output = model_sigmoid(model_sum(layer, 3 * MODEL_CELLS + i, x, h));
        c[i] = forget * c[i] + input * candidate;
        next[i] = output * tanhf(c[i]);
    }
    model_show(layer, next, h);
}
