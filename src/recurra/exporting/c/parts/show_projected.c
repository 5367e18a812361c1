/* Projects the output of the cells to the hidden state: h = W_hr next. */
static void model_show(const model_layer *layer, const float *next, float *h) {
    int i;
    for (i = 0; i < MODEL_UNITS; i++) h[i] = model_product(&layer->projection, i, next);
}
