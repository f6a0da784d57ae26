using System.Globalization;
using Penstock.Interop;

namespace Penstock.Cli;

/// <summary>The processors that this process may use.</summary>
internal static class Processors
{
    /// <summary>The largest number that an option takes.</summary>
    public const int Largest = 1023;

    /// <summary>The processor itself when the process may use it.</summary>
    /// <exception cref="UsageException">It may not.</exception>
    public static int Require(int processor)
    {
        int[] usable = Usable();
        return usable.Contains(processor) ? processor : throw new UsageException(string.Create(
            CultureInfo.InvariantCulture, $"--cpu {processor}: this process has no such processor; choose one of {string.Join(", ", usable)}"));
    }

    /// <summary>The last one: the first usually has more of the system's own work.</summary>
    public static int Last() => Usable()[^1];

    /// <summary>The first one, beside the last.</summary>
    public static int First() => Usable()[0];

    private static int[] Usable()
    {
        // Asked by trying, on a thread of its own so that no other is moved.
        int[] usable = [];
        var thread = new Thread(() => usable = [.. Enumerable.Range(0, Largest + 1).Where(CanRunOn)]);
        thread.Start();
        thread.Join();
        return usable;
    }

    private static bool CanRunOn(int processor)
    {
        try
        {
            ProcessPlacement.PinCurrentThread(processor);
            return true;
        }
        catch (SystemCallException)
        {
            return false;
        }
    }
}
