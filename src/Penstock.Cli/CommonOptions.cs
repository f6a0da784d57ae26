using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Penstock.Hypervisor;

namespace Penstock.Cli;

/// <summary>Options that several commands have, spelled once.</summary>
internal static class CommonOptions
{
    private static readonly Dictionary<string, RpcitPath> RpcitPaths = new()
    {
        ["fallback"] = RpcitPath.Fallback,
        ["shadow"] = RpcitPath.Shadow,
        ["nested"] = RpcitPath.Nested,
    };

    public static Option<bool> Json() => new("--json") { Description = "Print one JSON object a line instead of text." };

    /// <summary>A whole number within limits; null when it is not given.</summary>
    public static Option<int?> Number(string name, int minimum, int maximum, string description, int? normally = null)
    {
        var option = new Option<int?>(name) { HelpName = "N", Description = description };
        option.CustomParser = result => Parse(result, name, minimum, maximum);
        if (normally is not null)
        {
            option.DefaultValueFactory = _ => normally;
        }

        return option;
    }

    /// <summary>Who answers an s390x guest's RPCIT; null when it is not given.</summary>
    public static Option<RpcitPath?> Rpcit(string description) => new("--rpcit")
    {
        HelpName = "PATH",
        Description = description,
        CustomParser = static result =>
        {
            string text = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
            if (RpcitPaths.TryGetValue(text, out RpcitPath path))
            {
                return path;
            }

            result.AddError($"there is no way of RPCIT '{text}'; choose one of {string.Join(", ", RpcitPaths.Keys)}");
            return null;
        },
    };

    private static int? Parse(ArgumentResult result, string name, int minimum, int maximum)
    {
        string text = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
        if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value) && value >= minimum && value <= maximum)
        {
            return value;
        }

        result.AddError(string.Create(CultureInfo.InvariantCulture, $"{name} '{text}' is not a number from {minimum} to {maximum}"));
        return null;
    }
}
