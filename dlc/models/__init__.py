"""Published architectures, with the names of parameters that their published weights have.

`load_pretrained` reads such weights.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from dlc.frontend.suggesting import suggesting as _suggesting
from dlc.models.bert import BertConfig as BertConfig
from dlc.models.bert import BertForMaskedLM as BertForMaskedLM
from dlc.models.bert import BertForSequenceClassification as BertForSequenceClassification
from dlc.models.bert import BertModel as BertModel
from dlc.models.gpt2 import GPT2Config as GPT2Config
from dlc.models.gpt2 import GPT2LMHeadModel as GPT2LMHeadModel
from dlc.models.gpt2 import GPT2Model as GPT2Model
from dlc.models.mobilenet import MobileNetV2 as MobileNetV2
from dlc.models.mobilenet import mobilenet_v2 as mobilenet_v2
from dlc.models.pretrained import load_pretrained as load_pretrained
from dlc.models.resnet import ResNet as ResNet
from dlc.models.resnet import resnet18 as resnet18
from dlc.models.resnet import resnet34 as resnet34
from dlc.models.resnet import resnet50 as resnet50
from dlc.models.resnet import resnet101 as resnet101
from dlc.models.resnet import resnet152 as resnet152
from dlc.models.unet import UNet as UNet
from dlc.models.vgg import VGG as VGG
from dlc.models.vgg import vgg11 as vgg11
from dlc.models.vgg import vgg11_bn as vgg11_bn
from dlc.models.vgg import vgg13 as vgg13
from dlc.models.vgg import vgg13_bn as vgg13_bn
from dlc.models.vgg import vgg16 as vgg16
from dlc.models.vgg import vgg16_bn as vgg16_bn
from dlc.models.vgg import vgg19 as vgg19
from dlc.models.vgg import vgg19_bn as vgg19_bn
from dlc.models.vit import ViTConfig as ViTConfig
from dlc.models.vit import ViTForImageClassification as ViTForImageClassification
from dlc.models.vit import ViTModel as ViTModel

if not _TYPE_CHECKING:
    __getattr__ = _suggesting(__name__)
