using System.Globalization;

namespace Penstock.VfioUser;

/// <summary>
/// Writes every message of a session to a text file: a line each, <c>&gt;</c> for the client's and <c>&lt;</c> for the server's, the number of
/// descriptors, then all bytes in hexadecimal. May be called from any thread.
/// </summary>
public sealed class MessageRecorder : IMessageObserver, IDisposable
{
    private readonly StreamWriter _file;
    private readonly Lock _gate = new();

    private MessageRecorder(StreamWriter file) => _file = file;

    /// <summary>Starts a file, replacing what was there.</summary>
    /// <param name="path">Its path.</param>
    /// <returns>The recorder.</returns>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static MessageRecorder Create(string path) => new(new StreamWriter(path, append: false));

    /// <inheritdoc/>
    public void OnMessage(bool fromClient, ReadOnlySpan<byte> message, int descriptors)
    {
        lock (_gate)
        {
            _file.Write(fromClient ? '>' : '<');
            _file.Write(' ');
            _file.Write(descriptors.ToString(CultureInfo.InvariantCulture));
            _file.Write(' ');
            _file.WriteLine(Convert.ToHexStringLower(message));
        }
    }

    /// <summary>Finishes the file.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _file.Dispose();
        }
    }
}
