using System.Text.Json;

namespace Penstock.Cli.Tests;

/// <summary>How a program ended and what it said.</summary>
internal sealed record ToolResult(int Status, string[] Output, string[] Errors)
{
    /// <summary>Every line of standard output as an object.</summary>
    public JsonElement[] Objects => [.. Output.Select(line => JsonDocument.Parse(line).RootElement)];

    /// <summary>Asserts failure with exactly one line that has all the texts, and nothing on standard output.</summary>
    public void AssertRefused(int status, params string[] texts)
    {
        string error = Assert.Single(Errors);
        Assert.StartsWith("penstock", error, StringComparison.Ordinal);
        Assert.All(texts, text => Assert.Contains(text, error, StringComparison.Ordinal));
        Assert.Empty(Output);
        Assert.Equal(status, Status);
    }
}
