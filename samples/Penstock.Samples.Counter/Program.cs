// <readme>
using Penstock.Samples.Counter;
using Penstock.VfioUser;

string path = args.Length == 1 ? args[0] : throw new ArgumentException("usage: Penstock.Samples.Counter SOCKET");
using var server = PciFunctionServer.Serve(new CounterFunction(), path, new VfioUserServerOptions { Log = Console.WriteLine });
Console.WriteLine($"serving on {server.Path}; Enter ends");
Console.ReadLine();
// </readme>
