using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;

namespace Penstock.Cli.Bench;

/// <summary>The C program that walks the same tables, a round at a time.</summary>
internal sealed class ZpciWalker : IDisposable
{
    private readonly Process _process;

    /// <summary>Starts it.</summary>
    /// <exception cref="IOException">It cannot be started.</exception>
    public ZpciWalker(string program, string tables, ZpciBenchGuest guest, int processor)
    {
        string[] arguments =
        [
            tables, $"0x{ZpciBenchGuest.Anchor.Value:x}", $"0x{ZpciBenchGuest.FirstIova:x}", guest.Pages.ToString(CultureInfo.InvariantCulture),
            "--cpu", processor.ToString(CultureInfo.InvariantCulture),
        ];
        try
        {
            _process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardInput = true, RedirectStandardOutput = true })!;
        }
        catch (Win32Exception)
        {
            throw new IOException($"'{program}' cannot be started; name the walk that 'make -C bench' has built");
        }
    }

    /// <summary>Walks.</summary>
    /// <returns>Nanoseconds for all walks, and the sum of what they found.</returns>
    /// <exception cref="IOException">It has ended.</exception>
    public (double Nanoseconds, ulong Sum) Walk(int count, ulong seed, bool random)
    {
        _process.StandardInput.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{count} {seed} {(random ? 1 : 0)}"));
        _process.StandardInput.Flush();
        string[] words = (_process.StandardOutput.ReadLine() ?? throw new IOException("the C walk has ended by itself")).Split(' ');
        return (ulong.Parse(words[0], CultureInfo.InvariantCulture), ulong.Parse(words[1], CultureInfo.InvariantCulture));
    }

    public void Dispose()
    {
        _process.StandardInput.Dispose();
        if (!_process.WaitForExit(1000))
        {
            _process.Kill();
            _process.WaitForExit();
        }

        _process.Dispose();
    }
}
