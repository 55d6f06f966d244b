package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/access"
)

type recipesOutput struct {
	Body struct {
		Recipes []service.RecipeInfo `json:"recipes" nullable:"false"`
	}
}

type recipeInput struct {
	Name string `path:"name" maxLength:"128" example:"busybox"`
	From string `query:"from" enum:"catalog,recipes" doc:"where it is looked for; default: in --recipes, then in the catalogue"`
}

type recipeOutput struct{ Body service.RecipeInfo }

func (a *api) registerRecipes() {
	register(a, access.Read, huma.Operation{
		OperationID: "list-recipes", Method: http.MethodGet, Path: prefix + "/recipes", Tags: []string{recipesTag},
		Summary: "List what can be built by its name",
	}, func(ctx context.Context, _ *struct{}) (*recipesOutput, error) {
		all, err := a.service.Recipes(ctx)
		var out recipesOutput
		out.Body.Recipes = append([]service.RecipeInfo{}, all...)
		return &out, err
	})
	register(a, access.Read, huma.Operation{
		OperationID: "get-recipe", Method: http.MethodGet, Path: prefix + "/recipes/{name}", Tags: []string{recipesTag},
		Summary: "Show a recipe", Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *recipeInput) (*recipeOutput, error) {
		all, err := a.service.Recipes(ctx)
		if err != nil {
			return nil, err
		}
		return findRecipe(all, in)
	})
}

func findRecipe(all []service.RecipeInfo, in *recipeInput) (*recipeOutput, error) {
	for _, from := range []string{service.FromRecipes, service.FromCatalog} {
		for _, r := range all {
			if r.Name == in.Name && r.From == from && (in.From == "" || in.From == from) {
				return &recipeOutput{Body: r}, nil
			}
		}
	}
	return nil, fault(http.StatusNotFound, "looking for recipe %q: there is none: %s/recipes lists them", in.Name, prefix)
}
