"""Conditioners: Keras 3 layers that give a coupling's parameters."""

from tfp_realnvp.conditioners.base import Conditioner
from tfp_realnvp.conditioners.causal_transformer import CausalTransformer
from tfp_realnvp.conditioners.deep_set import DeepSet
from tfp_realnvp.conditioners.gated_attention import GatedAttention
from tfp_realnvp.conditioners.gated_conv import GatedConv
from tfp_realnvp.conditioners.gated_features import GatedFeatures
from tfp_realnvp.conditioners.glow_conv import GlowConv
from tfp_realnvp.conditioners.lipschitz import Lipschitz, LipschitzMLP
from tfp_realnvp.conditioners.lipschitz_conv import LipschitzConv
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
    "DeepSet",
    "GatedAttention",
    "GatedConv",
    "GatedFeatures",
    "GlowConv",
    "Lipschitz",
    "LipschitzConv",
    "LipschitzMLP",
    "ResNet",
    "Velocity",
    "ViT",
]
