using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Testing;

/// <content>Saving and restoring.</content>
public sealed partial class FunctionTestBench
{
    private const int FirstStateSize = 1 << 16;

    /// <summary>Stops the device and reads its state. It stays stopped; <see cref="Resume"/> lets it go on.</summary>
    /// <returns>The state.</returns>
    /// <exception cref="VfioException">ENOTTY: it does not migrate; the device's own errors.</exception>
    /// <exception cref="TestBenchException">The state cannot be read to its end.</exception>
    public byte[] SaveState()
    {
        using MigrationDataFile saved = File.SetMigrationState(MigrationState.StopCopy)
            ?? throw new TestBenchException("the device has no data in STOP_COPY");
        byte[] state = new byte[FirstStateSize];
        int length = 0;
        while (true)
        {
            if (length == state.Length)
            {
                Array.Resize(ref state, length * 2);
            }

            Errno errno = saved.Read(state.AsSpan(length), out int read);
            if (errno != Errno.None)
            {
                throw new TestBenchException($"reading the state failed after {length} bytes: {errno}");
            }

            if (read == 0)
            {
                return state[..length];
            }

            length += read;
        }
    }

    /// <summary>Gives the device a state that was saved elsewhere, and lets it run.</summary>
    /// <param name="state">The state.</param>
    /// <exception cref="VfioException">The device does not accept it; it is in ERROR then, until it is reset.</exception>
    /// <exception cref="TestBenchException">It does not take all of it.</exception>
    public void LoadState(ReadOnlySpan<byte> state)
    {
        using (MigrationDataFile loaded = File.SetMigrationState(MigrationState.Resuming)
            ?? throw new TestBenchException("the device takes no data in RESUMING"))
        {
            for (int done = 0; done < state.Length;)
            {
                Errno errno = loaded.Write(state[done..], out int written);
                if (errno != Errno.None || written == 0)
                {
                    throw new TestBenchException($"writing the state failed after {done} of {state.Length} bytes: {errno}");
                }

                done += written;
            }
        }

        Resume();
    }

    /// <summary>Lets the device run.</summary>
    /// <exception cref="VfioException">The device's own errors.</exception>
    public void Resume() => File.SetMigrationState(MigrationState.Running)?.Dispose();

    /// <summary>Moves the device's state to another one of the same kind, which runs afterwards; this one stays stopped.</summary>
    /// <param name="target">The bench of the other one, with the same memory mapped.</param>
    /// <exception cref="VfioException">Either device refuses.</exception>
    public void MigrateTo(FunctionTestBench target)
    {
        ArgumentNullException.ThrowIfNull(target);
        target.LoadState(SaveState());
    }
}
