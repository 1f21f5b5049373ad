"""Conditioners: Keras 3 layers that give a coupling's parameters."""

from tfp_realnvp.conditioners.base import Conditioner
from tfp_realnvp.conditioners.causal_transformer import CausalTransformer
from tfp_realnvp.conditioners.gated_attention import GatedAttention
from tfp_realnvp.conditioners.gated_conv import GatedConv
from tfp_realnvp.conditioners.gated_features import GatedFeatures
from tfp_realnvp.conditioners.glow_conv import GlowConv
from tfp_realnvp.conditioners.made import MADE
from tfp_realnvp.conditioners.mlp import MLP
from tfp_realnvp.conditioners.resnet import ResNet
from tfp_realnvp.conditioners.velocity import Velocity
from tfp_realnvp.conditioners.vit import ViT

__all__ = [
    "MADE",
    "MLP",
    "CausalTransformer",
    "Conditioner",
    "GatedAttention",
    "GatedConv",
    "GatedFeatures",
    "GlowConv",
    "ResNet",
    "Velocity",
    "ViT",
]
