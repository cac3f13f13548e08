# CUDA Toolkit, cuDNN and cudnn-frontend; sets SWATH_WITH_CUDA.
set(SWATH_WITH_CUDA FALSE)
