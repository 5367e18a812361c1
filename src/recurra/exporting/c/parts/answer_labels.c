/* Computes the probabilities of the labels: the logistic function of their scores. */
static void model_answer(const float *pooled, float *y) {
    int i;
    for (i = 0; i < MODEL_OUTPUTS; i++) {
        y[i] = 1.0f / (1.0f + expf(-(model_product(&model_head, i, pooled) + model_head_bias[i])));
    }
}
