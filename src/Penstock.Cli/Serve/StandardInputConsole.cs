using System.Text;
using Microsoft.Win32.SafeHandles;
using Penstock.Devices;
using Penstock.Interop;

namespace Penstock.Cli.Serve;

/// <summary>
/// Feeds lines of standard input to a device's console. The end of input ends only this, not the server; and a server in the background
/// of a terminal leaves the terminal alone, because reading there would stop the whole process.
/// </summary>
internal sealed class StandardInputConsole(IDeviceConsole console, Action<DeviceReply> answer)
{
    private const int StandardInput = 0;
    private static readonly TimeSpan BackgroundLook = TimeSpan.FromMilliseconds(500);

    public void Start()
    {
        if (IsInherited())
        {
            new Thread(Run) { IsBackground = true, Name = "standard input" }.Start();
        }
    }

    /// <summary>
    /// Whether descriptor 0 came from whoever started this process. When it was closed, the runtime has got the number for something of its
    /// own, which must not be read; the runtime's descriptors close on exec, an inherited one cannot.
    /// </summary>
    private static bool IsInherited()
    {
        const int CloseOnExec = 0x80000;
        try
        {
            string flags = File.ReadLines($"/proc/self/fdinfo/{StandardInput}").First(l => l.StartsWith("flags:", StringComparison.Ordinal));
            return (Convert.ToInt32(flags["flags:".Length..].Trim(), 8) & CloseOnExec) == 0;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private void Run()
    {
        try
        {
            using var input = new FileStream(new SafeFileHandle(StandardInput, ownsHandle: false), FileAccess.Read, bufferSize: 0);
            var pending = new StringBuilder();
            byte[] bytes = new byte[4096];
            Decoder decoder = Encoding.UTF8.GetDecoder();
            char[] chars = new char[bytes.Length];
            while (WaitForInput())
            {
                int n = input.Read(bytes);
                if (n == 0)
                {
                    // The last line may lack its end.
                    RunWholeLines(pending.Append('\n'));
                    return;
                }

                pending.Append(chars, 0, decoder.GetChars(bytes, 0, n, chars, 0));
                RunWholeLines(pending);
            }
        }
        catch (Exception e) when (e is IOException or SystemCallException or UnauthorizedAccessException)
        {
            // No standard input, or one that cannot be read: the device is served without a console.
        }
    }

    private static bool WaitForInput()
    {
        while (true)
        {
            PollEvents happened = Poll.Wait(StandardInput, PollEvents.In, BackgroundLook);
            if ((happened & PollEvents.Invalid) != 0)
            {
                return false;
            }

            if (happened != PollEvents.None && TerminalForeground.MayRead(StandardInput))
            {
                return true;
            }

            if (happened != PollEvents.None)
            {
                Thread.Sleep(BackgroundLook);
            }
        }
    }

    private void RunWholeLines(StringBuilder pending)
    {
        // A line longer than this is no command; it is dropped so that input cannot grow without bound.
        const int LongestLine = 4096;
        string text = pending.ToString();
        int start = 0;
        for (int end = text.IndexOf('\n', StringComparison.Ordinal); end >= 0; end = text.IndexOf('\n', start))
        {
            string line = text[start..end].Trim();
            start = end + 1;
            if (line.Length > 0)
            {
                answer(console.Execute(line));
            }
        }

        pending.Clear();
        if (text.Length - start <= LongestLine)
        {
            pending.Append(text, start, text.Length - start);
        }
    }
}
