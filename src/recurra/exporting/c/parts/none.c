/* One step of layer l, which has no memory: h = relu(W x + b). */
static void model_advance(model_memory *memory, int l, const float *x) {
    const model_layer *layer = &model_layers[l];
    int i;
    for (i = 0; i < MODEL_UNITS; i++) {
        const float sum = model_product(&layer->input, i, x) + layer->bias[i];
        memory->hidden[l][i] = sum > 0.0f ? sum : 0.0f;
    }
}
