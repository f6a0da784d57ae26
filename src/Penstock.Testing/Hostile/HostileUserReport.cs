using System.Text;

namespace Penstock.Testing;

/// <summary>What came of a <see cref="HostileUser"/>'s run.</summary>
public sealed class HostileUserReport
{
    internal HostileUserReport(int seed, int steps, string? failure, IReadOnlyList<string> reproduction)
    {
        Seed = seed;
        Steps = steps;
        Failure = failure;
        Reproduction = reproduction;
    }

    /// <summary>The seed.</summary>
    public int Seed { get; }

    /// <summary>Steps that were done.</summary>
    public int Steps { get; }

    /// <summary>What went wrong; null when nothing did.</summary>
    public string? Failure { get; }

    /// <summary>The shortest list of steps found that makes it go wrong, in words; empty when nothing did.</summary>
    public IReadOnlyList<string> Reproduction { get; }

    /// <summary>Fails when something went wrong.</summary>
    /// <exception cref="TestBenchException">The whole report.</exception>
    public void ThrowIfFailed()
    {
        if (Failure is not null)
        {
            throw new TestBenchException(ToString());
        }
    }

    /// <summary>The report for people.</summary>
    /// <returns>Some lines.</returns>
    public override string ToString()
    {
        var text = new StringBuilder();
        text.Append($"hostile user, seed {Seed}, {Steps} steps: {Failure ?? "nothing went wrong"}");
        if (Failure is not null)
        {
            text.Append($"\n{Reproduction.Count} steps bring it about:");
            foreach (string step in Reproduction)
            {
                text.Append($"\n  {step}");
            }
        }

        return text.ToString();
    }
}
