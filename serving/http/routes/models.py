"""GET /models, /models/{name} and its card: what is served, what it accepts, and how good it is."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import HTMLResponse

from bundle.distributions import NumberDistribution
from bundle.features import CategoryFeature, NumberFeature
from serving.errors import NotFound, ValidationError
from serving.http.schemas import (
    ExtendedFeatureDescription,
    ExtendedModelDescription,
    ExtendedModels,
    ModelDescription,
    Models,
    problems,
)
from serving.http.security_headers import Page
from serving.inference.catalogue import ServedModel


def models_router(models: Sequence[ServedModel]) -> APIRouter:
    router = APIRouter(tags=["models"])
    extended = any(model.declaration.extended for model in models)
    shape, shapes = (ExtendedModelDescription, ExtendedModels) if extended else (ModelDescription, Models)
    every = [describe_model(model, shape) for model in models]
    main = {description.name: description for description in reversed(every)}  # the first of each name stays

    @router.get("/models", summary="Every version of every model that is served", response_model=shapes)
    async def list_models() -> dict[str, list[ModelDescription]]:
        return {"models": every}

    @router.get(
        "/models/{name}",
        summary="One model, in its main version",
        responses=problems(NotFound),
        response_model=shape,
    )
    async def show_model(name: str) -> ModelDescription:
        if name not in main:
            raise NotFound(f"No such model is served; there is {', '.join(reversed(main))}.")
        return main[name]

    cards = {(model.name, model.version): model.card for model in models}

    @router.get(
        "/models/{name}/card",
        summary="The card of a model, for people: what it is for, how good it is, and where it is not",
        response_class=HTMLResponse,
        responses=problems(NotFound, ValidationError),
    )
    async def show_card(
        name: str, version: Annotated[str | None, Query(description="The main one, unless given")] = None
    ) -> Page:
        described = await show_model(name)
        card = cards.get((name, version or described.version))
        if card is None:
            there = ", ".join(known for known_name, known in cards if known_name == name)
            raise NotFound(f"No such version of {name} is served; there is {there}.")
        return Page(card, "style-src 'unsafe-inline'")

    return router


def describe_model(
    model: ServedModel, shape: type[ModelDescription] = ExtendedModelDescription
) -> ModelDescription:
    declaration, manifest = model.declaration, model.manifest
    return shape(
        name=model.name,
        version=model.version,
        title=declaration.title,
        description=declaration.description,
        limits=declaration.limits,
        estimator=manifest.estimator.name,
        classes=declaration.labels,
        threshold=model.threshold,
        features=[_feature(model, feature) for feature in declaration.features],
        example=declaration.example,
        evaluation=manifest.evaluation,
        data_source=declaration.data_source,
        data_sha256=manifest.data.sha256,
        bundle_sha256=manifest.sha256,
    )


def _feature(model: ServedModel, feature: NumberFeature | CategoryFeature) -> ExtendedFeatureDescription:
    distribution = model.manifest.distribution[feature.name]
    trained = distribution if isinstance(distribution, NumberDistribution) else None
    number = feature if isinstance(feature, NumberFeature) else None
    return ExtendedFeatureDescription(
        name=feature.name,
        description=feature.description,
        type=feature.type,
        unit=number.unit or None if number else None,
        minimum=number.range[0] if number and number.range else None,
        maximum=number.range[1] if number and number.range else None,
        codes=feature.sent_codes if isinstance(feature, CategoryFeature) else None,
        other=isinstance(feature, CategoryFeature) and feature.other,
        nullable=feature.nullable,
        missing_codes=list(feature.missing_codes),
        trained_minimum=trained.minimum if trained else None,
        trained_maximum=trained.maximum if trained else None,
    )
