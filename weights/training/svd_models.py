"""The shapes of micro-svd's UNet and image encoder, and the scheduler that both training and sampling follow."""

from __future__ import annotations

from diffusers import EulerDiscreteScheduler, UNetSpatioTemporalConditionModel
from torch import nn
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

NUM_FRAMES = 14
LATENT_SIZE = 32
EMBEDDING_SIZE = 8
"""Width of the image embedding that the UNet attends to."""
ADDED_TIME_SIZE = 8
"""Sinusoids for each of frames per second, motion bucket and noise strength."""
SIGMA_MIN, SIGMA_MAX = 0.02, 80.0


def build_unet(latent_channels: int = 16) -> UNetSpatioTemporalConditionModel:
    """2.6 M parameters: one block at full size (64 wide), five at half size (96), attention in the middle."""
    unet = UNetSpatioTemporalConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=2 * latent_channels,
        out_channels=latent_channels,
        down_block_types=("DownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "UpBlockSpatioTemporal"),
        block_out_channels=(64, 96),
        layers_per_block=(0, 1),
        addition_time_embed_dim=ADDED_TIME_SIZE,
        projection_class_embeddings_input_dim=3 * ADDED_TIME_SIZE,
        cross_attention_dim=EMBEDDING_SIZE,
        num_attention_heads=3,
        num_frames=NUM_FRAMES,
    )
    nn.init.zeros_(unet.conv_out.weight)
    nn.init.zeros_(unet.conv_out.bias)
    return unet


def build_image_encoder() -> CLIPVisionModelWithProjection:
    """One small layer over 256 patches; 16 thousand parameters."""
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=224,
            patch_size=14,
            projection_dim=EMBEDDING_SIZE,
        )
    )


def build_feature_extractor() -> CLIPImageProcessor:
    """CLIP's usual normalisation."""
    return CLIPImageProcessor(size={"shortest_edge": 224}, crop_size={"height": 224, "width": 224})


def build_scheduler() -> EulerDiscreteScheduler:
    """Stable Video Diffusion's: v-prediction, timesteps 0.25 ln(sigma), Karras spacing; but a lower sigma_max."""
    return EulerDiscreteScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_type="continuous",
        timestep_spacing="leading",
        steps_offset=1,
        use_karras_sigmas=True,
        sigma_min=SIGMA_MIN,
        sigma_max=SIGMA_MAX,
        interpolation_type="linear",
    )
