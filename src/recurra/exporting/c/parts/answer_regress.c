/* Computes the predictions in the units of the training data. */
static void model_answer(const float *pooled, float *y) {
    int i;
    for (i = 0; i < MODEL_OUTPUTS; i++) {
        const float found = model_product(&model_head, i, pooled) + model_head_bias[i];
        y[i] = (float)((double)found * model_target_deviations[i] + model_target_means[i]);
    }
}
