/* SPDX-License-Identifier: Apache-2.0 */
/* A build without a HIP compiler: the backend is there and says that it has no kernels. */
#include "kernels/images/images.h"

const struct weir_gpu_image weir_hip_images[1];
const size_t weir_hip_images_count = 0;
