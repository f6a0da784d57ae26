using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;

namespace Penstock.Hypervisor.Tests.Tap;

/// <summary>The plugin's own C code in this process, built with the machine's compiler, and a stub in QEMU's place.</summary>
public sealed unsafe class PluginHarness : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly nint _library;
    private readonly delegate* unmanaged<byte*, ulong, ulong, ulong, ulong, int> _tablesAreRight;
    private readonly delegate* unmanaged<int, int> _death;
    private readonly delegate* unmanaged<ulong, int, int, int> _isGone;
    private readonly delegate* unmanaged<byte*, byte*, void> _recording;
    private readonly delegate* unmanaged<int> _giveUp;

    public PluginHarness()
    {
        File.WriteAllText(_folder.File($"{TapPlugin.Name}.c"), TapPlugin.Source);
        File.Copy(Path.Combine(AppContext.BaseDirectory, "Tap", "plugin-harness.c"), _folder.File("harness.c"));
        string library = _folder.File("harness.so");
        var start = new ProcessStartInfo("cc") { WorkingDirectory = _folder.Path, RedirectStandardError = true };
        foreach (string argument in (string[])["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread", "-o", library, "harness.c"])
        {
            start.ArgumentList.Add(argument);
        }

        using (Process compiler = Process.Start(start) ?? throw new InvalidOperationException("there is no C compiler (cc)"))
        {
            string said = compiler.StandardError.ReadToEnd();
            compiler.WaitForExit();
            Assert.True(compiler.ExitCode == 0, said);
        }

        _library = NativeLibrary.Load(library);
        _tablesAreRight = (delegate* unmanaged<byte*, ulong, ulong, ulong, ulong, int>)NativeLibrary.GetExport(_library, "harness_tables_are_right");
        _death = (delegate* unmanaged<int, int>)NativeLibrary.GetExport(_library, "harness_death");
        _isGone = (delegate* unmanaged<ulong, int, int, int>)NativeLibrary.GetExport(_library, "harness_is_gone");
        _recording = (delegate* unmanaged<byte*, byte*, void>)NativeLibrary.GetExport(_library, "harness_recording");
        _giveUp = (delegate* unmanaged<int>)NativeLibrary.GetExport(_library, "harness_give_up");
    }

    /// <summary>What the plugin says of a range's tables.</summary>
    public bool TablesAreRight(byte[] memory, ulong iota, ulong first, ulong last)
    {
        // SAFETY: the array is pinned for the call, which gets its length.
        fixed (byte* start = memory)
        {
            return _tablesAreRight(start, (ulong)memory.Length, iota, first, last) != 0;
        }
    }

    /// <summary>Kills a server with a message unread.</summary>
    /// <returns>The errno that its client's receive ends with; 0 for the end of the stream.</returns>
    public int KillServer(bool held) => _death(held ? 1 : 0);

    /// <summary>Whether the plugin gives a server up whose heartbeat is so old. One that <paramref name="beats"/> moves 200 ms later.</summary>
    public bool GivesUp(TimeSpan heartbeatAge, bool owned, bool beats)
    {
        int gone = _isGone((ulong)heartbeatAge.TotalMilliseconds, owned ? 1 : 0, beats ? 1 : 0);
        Assert.InRange(gone, 0, 1);
        return gone != 0;
    }

    /// <summary>What a recording is told of RPCITs of one processor: a small letter for the begin of one, the capital for its result.</summary>
    /// <param name="steps">The same for what the processor does; each letter has a stack of its own.</param>
    public string Record(string steps)
    {
        byte[] text = [.. Encoding.ASCII.GetBytes(steps), 0];
        byte[] told = new byte[text.Length + 1];

        // SAFETY: the arrays are pinned for the call; the first one ends with a zero, and it tells at most once for each step.
        fixed (byte* from = text, to = told)
        {
            _recording(from, to);
        }

        return Encoding.ASCII.GetString(told).TrimEnd('\0');
    }

    /// <summary>Gives a server up one of whose threads is in the guest's memory.</summary>
    /// <returns>Whether that thread had left it before, and one that died there holds nobody up.</returns>
    public bool GiveUp() => _giveUp() != 0;

    public void Dispose()
    {
        NativeLibrary.Free(_library);
        _folder.Dispose();
    }
}
