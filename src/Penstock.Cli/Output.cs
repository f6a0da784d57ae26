using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Penstock.Cli;

/// <summary>
/// What a command says: lines for a person, or one JSON object a line. May be used from any thread; lines never mix.
/// </summary>
internal sealed class Output(bool json)
{
    // The output is for programs, not for web pages: quotes and signs stay readable.
    private static readonly JsonSerializerOptions Plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly Lock _gate = new();

    public bool Json => json;

    /// <summary>A line for a person on standard output.</summary>
    public void Line(string text = "")
    {
        if (!json)
        {
            Print(text);
        }
    }

    /// <summary>An object for a program on standard output.</summary>
    public void Object(JsonObject value)
    {
        if (json)
        {
            Print(value.ToJsonString(Plain));
        }
    }

    /// <summary>A line about what goes on, on standard error: progress and log.</summary>
    public void Note(string text)
    {
        lock (_gate)
        {
            try
            {
                Console.Error.WriteLine(text);
            }
            catch (IOException)
            {
                // Nobody reads what goes on; that is no reason to stop.
            }
        }
    }

    private void Print(string line)
    {
        lock (_gate)
        {
            Console.Out.WriteLine(line);
        }
    }
}
