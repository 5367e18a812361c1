/* Computes the probabilities of the classes: the softmax of their scores. */
static void model_answer(const float *pooled, float *y) {
    float top, total = 0.0f;
    int i;
    for (i = 0; i < MODEL_OUTPUTS; i++) y[i] = model_product(&model_head, i, pooled) + model_head_bias[i];
    for (top = y[0], i = 1; i < MODEL_OUTPUTS; i++) {
        if (y[i] > top) top = y[i];
    }
    for (i = 0; i < MODEL_OUTPUTS; i++) {
        y[i] = expf(y[i] - top);
        total += y[i];
    }
    for (i = 0; i < MODEL_OUTPUTS; i++) y[i] /= total;
}
